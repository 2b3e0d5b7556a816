/* The page of all functions: a field that filters the list. Without this script, the page shows the whole list. */
const rows = [...document.querySelectorAll("ul.functions > li")].map((row) => {
  const [name, summary] = [...row.querySelectorAll(":scope > p")].map((part) => part.textContent.toLowerCase())
  return { row, chapter: row.closest("section"), text: `${name} ${summary}` }
})

const field = Object.assign(document.createElement("input"), {
  type: "search", id: "filter", className: "form-control", autocomplete: "off", placeholder: _("softmax, gradient, weights …"),
})
const label = Object.assign(document.createElement("label"), { htmlFor: "filter", textContent: _("Filter by name or words") })
const count = Object.assign(document.createElement("p"), { role: "status" })
document.querySelector(".filter").append(label, field, count)

function filter() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean)
  const left = rows.filter((item) => {
    item.row.hidden = !words.every((word) => item.text.includes(word))
    return !item.row.hidden
  })
  for (const { chapter } of rows) chapter.hidden = !left.some((item) => item.chapter === chapter)
  count.textContent = _("{found} of {all} functions").replace("{found}", left.length).replace("{all}", rows.length)
  history.replaceState(null, "", field.value ? `?q=${encodeURIComponent(field.value)}` : location.pathname + location.hash)
}

field.addEventListener("input", filter)
field.addEventListener("keydown", (event) => {
  if (event.key === "Enter") document.querySelector("ul.functions > li:not([hidden]) a")?.click()
})
field.value = new URLSearchParams(location.search).get("q") ?? ""
filter()
