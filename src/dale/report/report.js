"use strict";
(() => {
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(hover: none)").matches;
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: touch ? false : "hover",
    modeBarButtons: [["toImage", "resetScale2d"]],
  };

  // A figure in the inks of the colour scheme, which the style sheet holds.
  const themed = (figure) => {
    const style = getComputedStyle(root);
    const ink = (name) => style.getPropertyValue(`--${name}`).trim();
    // the deep blue of the figures is too dark for whiskers on a dark page
    const { data, layout } = JSON.parse(
      JSON.stringify(figure).replaceAll("#0072B2", ink("blue")),
    );
    layout.font.color = ink("muted");
    layout.hoverlabel.font.color = ink("ink");
    Object.assign(layout.hoverlabel, { bgcolor: ink("raised"), bordercolor: ink("rule") });
    layout.modebar = {
      bgcolor: "rgba(0,0,0,0)", color: ink("muted"), activecolor: ink("accent"),
    };
    if (touch) layout.dragmode = false; // a finger on a plot scrolls the page
    for (const [name, axis] of Object.entries(layout)) {
      if (!/^[xy]axis\d*$/.test(name)) continue;
      axis.gridcolor = ink("grid");
      axis.linecolor = ink("rule");
    }
    if (layout.coloraxis) {
      layout.coloraxis.colorscale = [[0, ink("scale-low")], [1, ink("scale-high")]];
    }
    for (const trace of data) {
      if (trace.type === "heatmap") trace.textfont = { ...trace.textfont, color: ink("ink") };
    }
    return { data, layout };
  };

  const draw = () => {
    for (const [id, figure] of Object.entries(figures)) {
      const room = document.getElementById(id);
      const { data, layout } = themed(figure);
      if (root.classList.contains("printing")) layout.width = room.clientWidth;
      Plotly.react(room, data, layout, config).then(() => spread(room, layout.height));
    }
  };

  // A legend of several rows stands above the plot: give it the room that it takes.
  const spread = (room, height) => {
    const legend = room.querySelector(".legend .bg");
    const tall = height + Math.max(0, (legend ? legend.getBBox().height : 0) - 30);
    room.style.height = `${tall}px`;
    if (tall > height) Plotly.relayout(room, { height: tall });
  };

  // Sorting: numbers by data-value, words by their text, holes last either way.
  const sort = (table, column, heading) => {
    const up = heading.getAttribute("aria-sort") !== "ascending";
    const key = (row) => {
      const cell = row.cells[column];
      if (!heading.classList.contains("number")) return cell.textContent;
      return "value" in cell.dataset ? Number(cell.dataset.value) : null;
    };
    const compare = (one, two) => {
      const [a, b] = [key(one), key(two)];
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "string" ? a.localeCompare(b) : a < b ? -1 : Number(a > b);
      return up ? order : -order;
    };
    for (const other of table.tHead.querySelectorAll("[aria-sort]")) {
      other.setAttribute("aria-sort", "none");
    }
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  };

  for (const heading of document.querySelectorAll("table.sortable th[aria-sort]")) {
    const table = heading.closest("table");
    heading.firstElementChild.addEventListener("click", () => {
      sort(table, heading.cellIndex, heading);
    });
  }

  const copy = async (button) => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      // Refused, or no clipboard on this page: leave the text selected for the keys.
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  };
  for (const button of document.querySelectorAll("button.copy")) {
    button.addEventListener("click", () => copy(button));
  }

  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const details of folded) details.open = true;
    root.classList.add("printing");
    draw();
  });
  window.addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
    root.classList.remove("printing");
    draw();
  });
  dark.addEventListener("change", draw);
  draw();
})();
