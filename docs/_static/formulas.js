/* A formula wider than the page scrolls in its own box. The Tab key must reach this box, for keyboard users. */
function reach() {
  for (const box of document.querySelectorAll(".katex-display")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0
    else box.removeAttribute("tabindex")
  }
}
new ResizeObserver(reach).observe(document.body)
document.fonts.ready.then(reach)
