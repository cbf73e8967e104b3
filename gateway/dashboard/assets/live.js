// Keeps a page as it is on the server: what is marked with data-live is replaced when it
// has changed there. Without this script all works, and is as it was when it was loaded.
"use strict";

(() => {
	const sign = document.querySelector(".live");
	const say = (text, on) => {
		if (!sign) return;
		sign.textContent = text;
		sign.classList.toggle("on", on);
	};

	// Times are shown as what they are from now, in full when pointed at.
	const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
	const relative = (then) => {
		const seconds = Math.round((then - Date.now()) / 1000);
		if (Math.abs(seconds) < 1) return "now";
		const [size, unit] = units.find(([size]) => Math.abs(seconds) >= size);
		const n = Math.floor(Math.abs(seconds) / size);
		return seconds < 0 ? `${n} ${unit} ago` : `in ${n} ${unit}`;
	};
	const tellTimes = () => {
		for (const time of document.querySelectorAll("time[datetime]")) {
			if (!time.title) time.title = time.textContent;
			const text = relative(new Date(time.dateTime));
			if (time.textContent !== text) time.textContent = text;
		}
	};

	// What somebody is at stays as it is: a field with the focus, a list that is open,
	// rows that are chosen.
	const token = document.querySelector("input[name=token]")?.value ?? "";
	const keep = (old, fresh) => {
		for (const field of fresh.querySelectorAll("input[name=token]")) field.value = token;
		for (const box of old.querySelectorAll("input[type=checkbox]:checked")) {
			const same = fresh.querySelector(`input[type=checkbox][name="${CSS.escape(box.name)}"][value="${CSS.escape(box.value)}"]`);
			if (same) same.checked = true;
		}
		for (const details of old.querySelectorAll("details[open][id]")) {
			const same = fresh.querySelector(`#${CSS.escape(details.id)}`);
			if (same) same.open = true;
		}
		const known = new Set([...old.querySelectorAll("tr[id]")].map((row) => row.id));
		if (known.size > 0) {
			for (const row of fresh.querySelectorAll("tr[id]")) row.classList.toggle("new", !known.has(row.id));
		}
	};
	const sources = new WeakMap();
	const busy = (part) => {
		const at = document.activeElement;
		return at && part.contains(at) && at.matches("input:not([type=checkbox]), textarea, select");
	};
	const show = (text) => {
		const page = new DOMParser().parseFromString(text, "text/html");
		for (const fresh of page.querySelectorAll("[data-live]")) {
			const old = document.getElementById(fresh.id);
			const source = fresh.outerHTML;
			if (!old || busy(old) || sources.get(old) === source) continue;
			const focus = old.contains(document.activeElement) ? document.activeElement.id : "";
			keep(old, fresh);
			old.replaceWith(fresh);
			sources.set(fresh, source);
			if (focus) document.getElementById(focus)?.focus();
		}
		tellTimes();
	};

	const follow = () => {
		const where = location.pathname + location.search;
		const events = new EventSource("/live?page=" + encodeURIComponent(where));
		events.addEventListener("page", (event) => {
			say("live", true);
			show(event.data);
		});
		events.onopen = () => say("live", true);
		events.onerror = () => say("reconnecting", false);
		addEventListener("pagehide", () => events.close());
	};

	// All rows of a table at once.
	document.addEventListener("change", (event) => {
		if (!event.target.matches("input[data-all]")) return;
		for (const box of event.target.closest("form").querySelectorAll("input[type=checkbox][name=id]")) box.checked = event.target.checked;
	});

	tellTimes();
	setInterval(tellTimes, 1000);
	if (document.querySelector("[data-live]") && "EventSource" in window) follow();
})();
