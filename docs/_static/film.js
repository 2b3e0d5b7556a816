/* A figure that moves: instead of a link to its film, a button that plays it in the place of the still. */
for (const link of document.querySelectorAll(".film a")) {
  const still = link.closest(".only-light, .only-dark").querySelector("img")
  const button = Object.assign(document.createElement("button"), {
    type: "button", className: "btn btn-sm btn-outline-primary", textContent: `▶ ${link.textContent}`,
  })
  let played = 0
  button.addEventListener("click", () => {
    still.removeAttribute("srcset")
    still.src = `${link.href}?${++played}` // an address that is new begins at the first frame
  })
  link.replaceWith(button)
}
