/* The lines under a hit come from the text of its page, where each formula stands twice: for the eye and for the ear.
   Only the second is a text. */
const pageText = Search.htmlToText
Search.htmlToText = (html, anchor) => {
  const page = new DOMParser().parseFromString(html, "text/html")
  page.querySelectorAll(".katex-html").forEach((formula) => formula.remove())
  return pageText(page.documentElement.outerHTML, anchor)
}

/* Who searches for a public name gets its own page first, whatever else is called so. */
let asked = ""
const parseQuery = Search._parseQuery
Search._parseQuery = (query) => {
  asked = query.trim().toLowerCase()
  return parseQuery(query)
}
Scorer.score = ([page, title, , , score]) =>
  page.startsWith("api/") && title.toLowerCase().split(".").pop() === asked ? score + 1000 : score
