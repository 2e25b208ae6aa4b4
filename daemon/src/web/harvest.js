// Crops that are kept for retraining: what is said of them, and the button that flags a moment.

const id = name => document.getElementById(name);
const SAID_MS = 2500;
let said = 0;

const reasons = { wrong_outline: "wrong outline", missed_nerve: "missed nerve", no_nerve: "that is no nerve", unsteady: "unsteady mask" };

/** Says what is kept, as the status has it. Nothing where nothing is kept. */
export function kept(harvest) {
  id("harvest").hidden = !harvest;
  if (!harvest || Date.now() < said) return;
  id("harvest").classList.toggle("failed", Boolean(harvest.failed));
  id("harvest-says").textContent = harvest.failed ? "Nothing can be kept for training"
    : `${harvest.items.toLocaleString("en")} kept for training`;
  id("harvest").title = harvest.failed ?? "Crops without names or dates are kept on this cart, so that the model can be trained on them.";
}

/** Flags the moment; `ask` is how the page asks the daemon, and gives whether it was done. */
export async function flag(ask) {
  if (id("harvest").hidden) return;
  const reason = id("flag-why").value;
  if (!await ask("POST", "/api/v1/harvest/flag", "The moment could not be flagged", { reason })) return;
  said = Date.now() + SAID_MS;
  id("harvest-says").textContent = `Flagged${reasons[reason] ? `: ${reasons[reason]}` : ""}. Two seconds are kept.`;
  id("flag-why").value = "unspecified";
}
