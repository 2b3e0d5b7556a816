/* The search: results while you type in the header's field, and on the search page. Pagefind loads its index in parts.
   A page whose name is exactly what was typed comes first. Chinese is indexed by characters, with spaces between them
   that are not shown, and a Chinese word is searched for as a phrase. */
const root = document.documentElement.dataset.content_root ?? "./"
const HAN = /[\u3400-\u9fff]+/g
const SPACES = document.documentElement.lang.startsWith("zh")
  ? /(?<=[\u3400-\u9fff](?:<\/?mark>)*) +(?=(?:<\/?mark>)*[\u3400-\u9fff])|(?<=[\u3000-\u303f\uff00-\uffef“”‘’…—](?:<\/?mark>)*) +| +(?=(?:<\/?mark>)*[\u3000-\u303f\uff00-\uffef“”‘’…—])/g
  : /(?!)/g
const closeUp = (text) => text.replace(SPACES, "")
const OPTIONS = { baseUrl: new URL(root, location.href).pathname, ranking: { metaWeights: { title: 5, terms: 10, heading: 0, kind: 0, summary: 0 } } }
let engine

async function findPages(query) {
  engine ??= import(new URL(`${root}pagefind/pagefind.js`, location.href)).then(async (pagefind) => {
    await pagefind.options(OPTIONS)
    return pagefind
  })
  const pagefind = await engine
  const name = query.trim().toLowerCase().replace(/[()]/g, "").split(".").pop().replace(/[\s-]+/g, "_")
  const named = await pagefind.search(query, { filters: { name } })
  const all = await pagefind.search(query.replace(HAN, (word) => ` "${[...word].join(" ")}" `))
  const first = new Set(named.results.map((result) => result.id))
  return [...named.results, ...all.results.filter((result) => !first.has(result.id))]
}

function row({ url, meta, excerpt, sub_results }) {
  const item = document.createElement("li")
  const link = Object.assign(document.createElement("a"), { href: url, textContent: closeUp(meta.heading) })
  const kind = Object.assign(document.createElement("span"), { className: "kind", textContent: meta.kind })
  const text = Object.assign(document.createElement("p"), { className: "context", innerHTML: closeUp(excerpt) }) // escaped by Pagefind
  // Show the summary if the best match is the title, and on API pages, where it is often in a list of parameters.
  if (meta.kind === _("API") || text.textContent.startsWith(closeUp(meta.heading))) text.textContent = closeUp(meta.summary)
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
