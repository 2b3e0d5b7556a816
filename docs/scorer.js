/* The scorer of Sphinx's search with its default values. A search for a public name lists its page first. */
var Scorer = {
  score: ([page, title, , , score]) => {
    const asked = new URLSearchParams(location.search).get("q")?.trim().toLowerCase()
    return page.startsWith("api/") && title.toLowerCase().split(".").pop() === asked ? score + 1000 : score
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
}
