/* The link to the page in the other language keeps the place on the page and what was searched for. */
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a.language")
  if (link) [link.hash, link.search] = [location.hash, location.search]
})
