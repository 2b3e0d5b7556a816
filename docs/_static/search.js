/* The search: results while you type in the header's field, and on the search page. Pagefind loads its index in parts.
   A page whose name is exactly what was typed comes first. In the Chinese edition, characters are indexed as words, with
   spaces between them that are not shown, and what was typed is searched for as a phrase. If no page has the phrase, as
   with a question, the pages with the most of its words are found. */
const root = document.documentElement.dataset.content_root ?? "./"
const isChinese = document.documentElement.lang.startsWith("zh")
const HAN = /[\u3400-\u9fff]/g
const SPACES = isChinese
  ? /(?<=[\u3400-\u9fff](?:<\/?mark>)*) +(?=(?:<\/?mark>)*[\u3400-\u9fff])|(?<=[\u3000-\u303f\uff00-\uffef“”‘’…—](?:<\/?mark>)*) +| +(?=(?:<\/?mark>)*[\u3000-\u303f\uff00-\uffef“”‘’…—])/g
  : /(?!)/g
const closeUp = (text) => text.replace(SPACES, "")
const OPTIONS = { baseUrl: new URL(root, location.href).pathname, excerptLength: isChinese ? 60 : 30, ranking: { metaWeights: { title: 5, terms: 10, heading: 0, kind: 0, summary: 0 } } }
const ASKING = /^(如何|怎么|怎么办|怎样|为什么|什么|哪个|哪些|能否|是否|[的了吗呢和与或在是有用会要把被])$/ // in most questions
let engine

// The pages with a text. Pagefind does not rank the pages with a phrase: their order is that of a search for its words.
async function findText(pagefind, text) {
  const words = isChinese ? text.replace(HAN, " $& ").replace(/[?!,;:"]/g, " ") : text
  const ranked = (await pagefind.search(words)).results
  if (words === text) return ranked
  const exact = new Map((await pagefind.search(`"${words}"`)).results.map((result) => [result.id, result]))
  return ranked.filter(({ id }) => exact.has(id)).map(({ id, score }) => ({ ...exact.get(id), score }))
}

// The pages with the most words, and pairs of neighbours, of a text. The fewer pages have one, the more it counts.
async function findWords(pagefind, text) {
  if (!isChinese || !Intl.Segmenter) return []
  const parts = [...new Intl.Segmenter("zh", { granularity: "word" }).segment(text)]
  const isTelling = (part) => part?.isWordLike && !ASKING.test(part.segment)
  const words = parts.flatMap((part, i) => {
    if (!isTelling(part)) return []
    return isTelling(parts[i + 1]) ? [part.segment, part.segment + parts[i + 1].segment] : [part.segment]
  })
  const pages = new Map()
  for (const results of await Promise.all(words.map((word) => findText(pagefind, word)))) {
    for (const result of results) {
      const gain = (1 + result.score / results[0].score) / Math.sqrt(results.length)
      const page = pages.get(result.id) ?? { score: 0, best: 0 }
      const shown = gain > page.best ? { ...result, best: gain } : page // the excerpt is that of the word that tells most
      pages.set(result.id, { ...shown, score: page.score + gain })
    }
  }
  return [...pages.values()].sort((one, other) => other.score - one.score)
}

async function findPages(typed) {
  const query = typed.normalize("NFKC") // full-width letters and signs become ordinary ones
  engine ??= import(new URL(`${root}pagefind/pagefind.js`, location.href)).then(async (pagefind) => {
    await pagefind.options(OPTIONS)
    return pagefind
  })
  const pagefind = await engine
  const name = query.trim().toLowerCase().replace(/[()]/g, "").split(".").pop().replace(/[\s-]+/g, "_").replace(/_?([\u3400-\u9fff])_?/g, "$1")
  const named = await pagefind.search(query, { filters: { name } })
  const all = await findText(pagefind, query)
  const first = new Set(named.results.map((result) => result.id))
  const found = [...named.results, ...all.filter((result) => !first.has(result.id))]
  return found.length ? found : findWords(pagefind, query)
}

function row({ url, meta, excerpt, sub_results }) {
  const item = document.createElement("li")
  const heading = closeUp(meta.heading)
  const link = Object.assign(document.createElement("a"), { href: url, textContent: heading })
  const kind = Object.assign(document.createElement("span"), { className: "kind", textContent: closeUp(meta.kind) })
  const text = Object.assign(document.createElement("p"), { className: "context", innerHTML: closeUp(excerpt) }) // escaped by Pagefind
  // Show the summary if the excerpt begins in the title, and on API pages, where it is often in a list of parameters.
  const isTitle = text.textContent.slice(0, heading.length).includes(heading.slice(-8))
  if (meta.kind === _("API") || isTitle) text.textContent = closeUp(meta.summary)
  item.append(link, " ", kind, text)
  const parts = sub_results.filter((part) => part.url.includes("#")).slice(0, 3)
  if (parts.length) {
    const list = document.createElement("p")
    list.className = "parts"
    for (const part of parts) list.append(Object.assign(document.createElement("a"), { href: part.url, textContent: closeUp(part.title.replace(/#$/, "")) }), " ")
    item.append(list)
  }
  return item
}

function connect(field, count, onRows = () => {}) {
  const status = Object.assign(document.createElement("p"), { role: "status", className: "found" })
  const list = Object.assign(document.createElement("ol"), { className: "search-results" })
  const more = Object.assign(document.createElement("button"), { type: "button", className: "btn btn-outline-primary", textContent: _("More results"), hidden: true })
  let results = []
  async function show(from) {
    const query = field.value
    const rows = await Promise.all(results.slice(from, from + count).map(async (result) => row(await result.data())))
    if (query !== field.value) return
    from ? list.append(...rows) : list.replaceChildren(...rows)
    more.hidden = list.children.length >= results.length
  }
  async function search() {
    const query = field.value
    if (!query.trim()) {
      results = []
      status.textContent = ""
      list.replaceChildren()
      more.hidden = true
      return
    }
    try {
      const found = await findPages(query)
      if (query !== field.value) return
      results = found
      await show(0)
      status.textContent = found.length === 1 ? _("1 page") : _("{n} pages").replace("{n}", found.length)
    } catch (error) {
      status.textContent = _("The search needs a web server. Without one, use the filter on the page “All functions”.")
    }
    onRows(query)
  }
  let pause
  field.addEventListener("input", () => {
    clearTimeout(pause)
    pause = setTimeout(search, 150)
  })
  more.addEventListener("click", () => show(list.children.length))
  return { parts: [status, list, more], search }
}

const page = document.querySelector("#search-results")
if (page) {
  const field = document.querySelector("article form.bd-search input")
  const box = connect(field, 10, (query) => history.replaceState(null, "", `?q=${encodeURIComponent(query)}`))
  page.append(...box.parts)
  field.value = new URLSearchParams(location.search).get("q") ?? ""
  field.focus()
  box.search()
} else {
  const dialog = document.querySelector("#pst-search-dialog")
  const field = dialog?.querySelector("input")
  if (field) dialog.append(...connect(field, 6).parts.slice(0, 2))
}
