/* Figures open in the whole window: a tap or click on a figure, or its button, which the Tab key reaches. Escape, a click
   or the button closes it. A figure wider than the window scrolls. */
{
  const ARROWS = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M10 2h4v4M14 2 9 7M6 14H2v-4M2 14l5-5"/></svg>'
  const dialog = document.createElement("dialog")
  dialog.className = "enlarged"
  dialog.setAttribute("aria-label", _("Enlarged figure"))
  const close = Object.assign(document.createElement("button"), { type: "button", className: "btn", textContent: _("Close") })
  dialog.append(close)
  dialog.addEventListener("click", () => dialog.close())
  dialog.addEventListener("close", () => dialog.querySelector("img")?.remove())
  document.body.append(dialog)

  function enlarge(image) {
    const copy = image.cloneNode() // with the step that a slider shows
    const [width, height] = ["width", "height"].map((side) => Number(image.getAttribute(side)))
    copy.style.width = `${Math.max(width, Math.min(innerWidth, (innerHeight * width) / height, 2 * width))}px`
    copy.loading = "eager"
    if (image.srcset) copy.src = image.srcset.split(",").pop().trim().split(" ")[0]
    copy.removeAttribute("srcset")
    dialog.prepend(copy)
    dialog.showModal()
    dialog.scrollTo(0, 0)
  }

  for (const image of document.querySelectorAll("article img.sphx-glr-single-img")) {
    const box = Object.assign(document.createElement("div"), { className: "enlargeable" })
    const button = Object.assign(document.createElement("button"), { type: "button", className: "enlarge", innerHTML: ARROWS })
    button.setAttribute("aria-label", _("Enlarge the figure"))
    image.replaceWith(box)
    box.append(image, button)
    for (const part of [image, button]) part.addEventListener("click", () => enlarge(image))
  }
}
