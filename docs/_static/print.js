/* Pages are printed in the light theme, with all figures. */
{
  const html = document.documentElement.dataset
  const media = matchMedia("print")
  let shown
  function prepare() {
    shown ??= html.theme
    html.theme = "light"
    for (const image of document.images) image.loading = "eager"
  }
  function restore() {
    html.theme = shown ?? html.theme
    shown = undefined
  }
  media.addEventListener("change", ({ matches }) => (matches ? prepare() : restore()))
  addEventListener("beforeprint", prepare)
  addEventListener("afterprint", restore)
}
