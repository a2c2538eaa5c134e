// Keeps a page up to date while it is looked at. The event stream says that something has changed; then the same page is
// asked for again and what differs is taken over, so that the server has one rendering of everything. Without this
// script the pages are complete, as of when they were loaded.
"use strict";

(() => {
  const live = document.getElementById("live");
  const liveText = document.getElementById("live-text");
  const announce = document.getElementById("announce");
  const least = 700; // milliseconds between two requests for the page
  let asked = 0, timer = 0, busy = false, again = false, stream = null, heard = 0, news = 0;

  function show(state, text) {
    if (live.dataset.state === state) return;
    live.dataset.state = state;
    liveText.textContent = text;
  }

  // Many changes in a row are one request. Browsers that heard of the same change spread theirs a little.
  function changed() {
    if (document.hidden) { again = true; return; }
    if (timer) return;
    const wait = Math.max(150, asked + least - Date.now()) + Math.random() * 150;
    timer = setTimeout(refresh, wait);
  }

  async function refresh() {
    timer = 0;
    if (busy) { again = true; return; }
    busy = true;
    again = false;
    asked = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) { location.reload(); return; }
      if (answer.ok) take(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      // The stream notices that the service is gone, and asks again when it is back.
    } finally {
      busy = false;
      if (again) changed();
    }
  }

  function take(page) {
    for (const now of document.querySelectorAll("[data-live]")) {
      const next = page.getElementById(now.id);
      if (next) morph(now, next);
    }
    if (page.title) document.title = page.title;
    tick();
  }

  // morph makes a look like b and keeps every element that stays: focus, selection, scrolling and open details.
  function morph(a, b) {
    if (a.isEqualNode(b)) return;
    if (a.nodeType !== Node.ELEMENT_NODE) { a.nodeValue = b.nodeValue; return; }
    const revised = a.dataset && a.dataset.rev !== b.dataset.rev;
    for (const { name } of [...a.attributes]) {
      if (!b.hasAttribute(name) && name !== "open") a.removeAttribute(name);
    }
    for (const { name, value } of [...b.attributes]) {
      if (name !== "open" && a.getAttribute(name) !== value) a.setAttribute(name, value);
    }
    const named = new Map();
    for (const c of a.children) if (c.id) named.set(c.id, c);
    let at = a.firstChild;
    for (const want of [...b.childNodes]) {
      let have = want.id ? named.get(want.id) : null;
      if (!have && !want.id && at && !at.id && at.nodeType === want.nodeType && at.nodeName === want.nodeName) have = at;
      if (have && have.nodeName === want.nodeName) {
        if (have === at) at = at.nextSibling;
        else a.insertBefore(have, at);
        morph(have, want);
      } else {
        const fresh = document.importNode(want, true);
        a.insertBefore(fresh, at);
        if (fresh.dataset && fresh.dataset.rev) { flash(fresh); news++; }
      }
    }
    while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
    if (revised) flash(a);
  }

  function flash(e) {
    e.classList.remove("changed");
    void e.offsetWidth; // starts the animation anew
    e.classList.add("changed");
    e.addEventListener("animationend", () => e.classList.remove("changed"), { once: true });
  }

  // Relative times grow old without any change. The words are those of the server.
  function tick() {
    for (const t of document.querySelectorAll("time[datetime]")) {
      const s = (Date.now() - Date.parse(t.dateTime)) / 1000;
      if (Number.isNaN(s)) continue;
      const text = s <= -1 ? "in " + span(-s) : s < 10 ? "just now" : span(s) + " ago";
      if (t.textContent !== text) t.textContent = text;
    }
  }

  function span(s) {
    if (s < 60) return Math.floor(s) + " s";
    if (s < 3600) return Math.floor(s / 60) + " min";
    if (s < 172800) return Math.floor(s / 3600) + " h";
    return Math.floor(s / 86400) + " days";
  }

  function connect() {
    stream = new EventSource("/webhook/events");
    stream.onmessage = (event) => {
      heard = Date.now();
      show("live", "live");
      let message;
      try { message = JSON.parse(event.data); } catch { return; }
      if (message.type === "heartbeat") return;
      // The first snapshot too: something may have changed between the rendering of this page and now.
      changed();
    };
    stream.onerror = () => {
      show("lost", "reconnecting");
      // After an answer that is no stream (the service restarts, or is full) a browser gives up for good.
      if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 3000 + Math.random() * 2000);
    };
  }

  // A connection can die without a word; heartbeats come every 15 seconds.
  setInterval(() => {
    tick();
    if (heard && Date.now() - heard > 40000 && stream.readyState === EventSource.OPEN) {
      heard = Date.now();
      show("lost", "reconnecting");
      stream.close();
      connect();
    }
  }, 5000);

  // Screen readers hear at most every ten seconds that there is something new.
  setInterval(() => {
    if (news) announce.textContent = news === 1 ? "1 new entry" : news + " new entries";
    news = 0;
  }, 10000);

  document.addEventListener("visibilitychange", () => { if (!document.hidden && again) changed(); });
  tick();
  connect();
})();
