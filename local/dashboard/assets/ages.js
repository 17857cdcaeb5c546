// Fills every <time class="ago"> with how long ago it was, each second: the server need not send a page for that.
(function () {
  "use strict";
  const UNITS = [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]];

  function duration(seconds) {
    for (const [unit, size, lesser, part] of UNITS) {
      if (seconds >= size) {
        const rest = Math.floor((seconds % size) / part);
        return Math.floor(seconds / size) + " " + unit + (rest ? " " + rest + " " + lesser : "");
      }
    }
    return seconds + " s";
  }

  function fill() {
    for (const each of document.querySelectorAll("time.ago")) {
      const seconds = Math.round((Date.now() - Date.parse(each.dateTime)) / 1000);
      const text = seconds < 0 ? "in " + duration(-seconds) : duration(seconds) + " ago";
      if (each.textContent !== text) {
        each.textContent = text;
      }
    }
  }

  setInterval(fill, 1000);
  new MutationObserver(fill).observe(document, { childList: true, subtree: true });
})();
