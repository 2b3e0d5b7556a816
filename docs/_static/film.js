/* Animations: replace the link to an animation by a button that plays it in place of the still figure. */
for (const link of document.querySelectorAll(".film a")) {
  const still = link.closest(".only-light, .only-dark").querySelector("img")
  const button = Object.assign(document.createElement("button"), {
    type: "button", className: "btn btn-sm btn-outline-primary", textContent: `▶ ${link.textContent}`,
  })
  let played = 0
  button.addEventListener("click", () => {
    still.removeAttribute("srcset")
    still.src = `${link.href}?${++played}` // a new address makes it start at the first frame
  })
  link.replaceWith(button)
}
