/* A formula wider than its page scrolls in its own box: who has no mouse reaches that by the tabulator. */
function reach() {
  for (const box of document.querySelectorAll(".katex-display")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0
    else box.removeAttribute("tabindex")
  }
}
new ResizeObserver(reach).observe(document.body)
document.fonts.ready.then(reach)
