/* Figures that move: replace the link to the picture of all steps by a slider that shows one step in the figure. */
for (const box of document.querySelectorAll(".slider")) {
  const link = box.querySelector("a")
  const titles = [...box.querySelectorAll("option")].map(option => option.textContent)
  const figure = box.closest(".only-light, .only-dark").querySelector("img")
  const range = Object.assign(document.createElement("input"), {
    type: "range", className: "form-range", min: 0, max: titles.length - 1, value: titles.length - 1,
  })
  range.setAttribute("aria-label", _("Step of the figure above"))
  const title = document.createElement("output")
  const tell = () => {
    title.textContent = titles[range.value]
    range.setAttribute("aria-valuetext", titles[range.value])
  }
  tell() // the still figure is the last step

  let steps // the picture of all steps, loaded when the slider is used first
  const show = async () => {
    tell()
    if (!steps) {
      steps = new Image()
      steps.src = link.href
    }
    await steps.decode()
    if (figure.src !== steps.src) {
      figure.removeAttribute("srcset")
      figure.style.aspectRatio = `${steps.width} / ${steps.height / titles.length}`
      figure.style.objectFit = "cover"
      figure.src = steps.src
    }
    figure.style.objectPosition = `0 ${100 * range.value / range.max}%`
  }
  range.addEventListener("input", show)
  box.replaceChildren(range, title)
}
