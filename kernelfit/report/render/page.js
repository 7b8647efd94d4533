for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    head.setAttribute("aria-sort", "none");
    head.title = "sort";
    const value = row => {
      const cell = row.cells[column], number = parseFloat(cell.dataset.value ?? "");
      return Number.isNaN(number) ? cell.textContent : number;
    };
    const sort = () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach(other => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const compare = (a, b) => {
        const x = value(a), y = value(b), numbers = (typeof x === "number") - (typeof y === "number");
        return numbers ? -numbers : sign * (typeof x === "number" ? x - y : x.localeCompare(y));
      };
      body.append(...[...body.rows].sort(compare));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
    });
  });
}
