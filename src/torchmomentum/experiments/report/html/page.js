"use strict";
// Draws the charts in the page's colours, shows and hides their lines, follows a server's files.
(() => {
  const COLOURS = 8;
  const DASHES = ["solid", "dash", "dot"];
  const BORDERS = ["solid", "dashed", "dotted"];
  const POLL = 2000;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const config = {
    displaylogo: false,
    responsive: true,
    showSendToCloud: false,
    plotlyServerURL: "",
    displayModeBar: touch ? false : "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  };
  const drawn = new Set();
  const hidden = new Map(); // the lines that are hidden, by study

  const variable = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const studyOf = (element) => element.closest("[data-study]")?.dataset.study ?? "";
  const hiddenIn = (element) => {
    const study = studyOf(element);
    if (!hidden.has(study)) hidden.set(study, new Set());
    return hidden.get(study);
  };

  function themed(chart) {
    const figure = JSON.parse(chart.nextElementSibling.textContent);
    const [text, border] = ["--text", "--border"].map(variable);
    const axis = { gridcolor: border, zerolinecolor: border, linecolor: border, automargin: true };
    for (const name of ["xaxis", "yaxis"]) figure.layout[name] = { ...axis, ...figure.layout[name] };
    for (const shape of figure.layout.shapes ?? []) shape.line = { color: text, width: 1 };
    for (const trace of figure.data) {
      if (trace.texttemplate) {
        trace.colorscale = [[0, variable("--heat-low")], [1, variable("--heat-high")]];
        trace.textfont = { color: text };
      }
      if (trace.meta === undefined) continue;
      const color = variable(`--series-${trace.meta % COLOURS}`);
      const dash = DASHES[Math.floor(trace.meta / COLOURS) % DASHES.length];
      if (trace.type === "bar") trace.marker = { color };
      else trace.line = { dash, ...trace.line, color };
      for (const name of ["error_x", "error_y"])
        if (trace[name]) trace[name] = { ...trace[name], color: trace.type === "bar" ? text : color };
      trace.visible = !hiddenIn(chart).has(trace.meta);
    }
    const font = { family: variable("--sans"), size: 13, color: text };
    Object.assign(figure.layout, {
      font,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 56, r: 12, t: 8, b: 44 },
      showlegend: false,
      hovermode: "closest",
      hoverlabel: { bgcolor: variable("--surface"), bordercolor: border, font },
      dragmode: touch ? false : "zoom",
      uirevision: "kept",
    });
    return figure;
  }

  // the picture has the words; the buttons beside it are no part of a picture
  function describe(chart) {
    const [picture, ...others] = chart.querySelectorAll(".main-svg");
    for (const name of ["role", "aria-label", "aria-describedby"]) {
      if (!chart.hasAttribute(name)) continue;
      picture.setAttribute(name, chart.getAttribute(name));
      chart.removeAttribute(name);
    }
    others.forEach((layer) => layer.setAttribute("aria-hidden", "true"));
  }

  function draw(chart) {
    const figure = themed(chart);
    Plotly.react(chart, figure.data, figure.layout, config);
    describe(chart);
    drawn.add(chart);
  }

  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        watcher.unobserve(entry.target);
        draw(entry.target);
      }
    },
    { rootMargin: "600px" },
  );

  function showLines(legend) {
    const study = studyOf(legend), away = hiddenIn(legend);
    for (const button of legend.querySelectorAll("button"))
      button.setAttribute("aria-pressed", String(!away.has(Number(button.dataset.arm))));
    for (const chart of drawn) {
      if (studyOf(chart) !== study) continue;
      Plotly.restyle(chart, { visible: chart.data.map((trace) => !away.has(trace.meta)) });
    }
  }

  function toggle(button) {
    const away = hiddenIn(button), arm = Number(button.dataset.arm);
    if (!away.delete(arm)) away.add(arm);
    showLines(button.parentElement);
  }

  function isolate(button) {
    const away = hiddenIn(button), arm = Number(button.dataset.arm);
    const others = [...button.parentElement.querySelectorAll("button")]
      .map((each) => Number(each.dataset.arm)).filter((each) => each !== arm);
    const alone = !away.has(arm) && others.every((each) => away.has(each));
    away.clear();
    if (!alone) others.forEach((each) => away.add(each));
    showLines(button.parentElement);
  }

  function begin() {
    for (const swatch of document.querySelectorAll(".swatch")) {
      const line = Number(swatch.dataset.line);
      swatch.style.borderTopColor = `var(--series-${line % COLOURS})`;
      swatch.style.borderTopStyle = BORDERS[Math.floor(line / COLOURS) % BORDERS.length];
    }
    for (const legend of document.querySelectorAll(".legend")) {
      legend.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (button) toggle(button);
      });
      legend.addEventListener("dblclick", (event) => {
        const button = event.target.closest("button");
        if (button) isolate(button);
      });
      showLines(legend);
    }
    for (const chart of document.querySelectorAll(".chart")) watcher.observe(chart);
  }

  function replaceContent(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const open = new Map(
      [...document.querySelectorAll("details")].map((each) => [each.dataset.key, each.open]),
    );
    const [x, y] = [scrollX, scrollY];
    watcher.disconnect();
    drawn.forEach((chart) => Plotly.purge(chart));
    drawn.clear();
    document.getElementById("content").replaceWith(fresh.getElementById("content"));
    document.title = fresh.title;
    for (const each of document.querySelectorAll("details"))
      if (open.has(each.dataset.key)) each.open = open.get(each.dataset.key);
    begin();
    scrollTo({ left: x, top: y, behavior: "instant" });
    return fresh.documentElement.dataset.version;
  }

  async function follow(status) {
    try {
      const { version } = await (await fetch("/state", { cache: "no-store" })).json();
      const root = document.documentElement;
      if (version !== root.dataset.version) {
        root.dataset.version = replaceContent(await (await fetch("/", { cache: "no-store" })).text());
        status.textContent = `Changed at ${new Date().toLocaleTimeString()}.`;
      }
      if (status.dataset.lost) status.textContent = "Follows its files.";
      delete status.dataset.lost;
    } catch {
      status.dataset.lost = "yes";
      status.textContent = "The server does not answer.";
    }
    setTimeout(follow, POLL, status);
  }

  dark.addEventListener("change", () => drawn.forEach(draw));
  addEventListener("beforeprint", () => document.querySelectorAll(".chart").forEach(draw));
  begin();
  const status = document.getElementById("live");
  if (status) setTimeout(follow, POLL, status);
})();
