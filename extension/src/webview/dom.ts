/** Small helpers for building elements; text is always text, never markup. */

type Child = Node | string | null;

/** An element with attributes and children; an attribute of undefined is left out. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Record<string, string | undefined> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) {
      made.setAttribute(key, value);
    }
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A button that does something. */
export function button(text: string, act: () => void, attributes: Record<string, string | undefined> = {}): HTMLButtonElement {
  const made = element("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", act);
  return made;
}

/** A labelled choice; each option is a value and what is shown for it. */
export function choice(
  label: string,
  options: readonly (readonly [string, string])[],
  value: string,
  act: (value: string) => void,
): HTMLLabelElement {
  const select = element("select", {}, ...options.map(([key, text]) => element("option", { value: key }, text)));
  select.value = value;
  select.addEventListener("change", () => {
    act(select.value);
  });
  return element("label", {}, element("span", {}, label), select);
}

/** A labelled whole number; empty leaves the script's own, which is the placeholder. */
export function number(label: string, placeholder: string, value: string, act: (value: string) => void): HTMLLabelElement {
  const input = element("input", { type: "number", min: "1", step: "1", placeholder, value });
  input.addEventListener("input", () => {
    act(input.value);
  });
  return element("label", {}, element("span", {}, label), input);
}

/** A table with a caption for screen readers. */
export function table(caption: string, names: readonly string[], rows: readonly Child[][], hidden = false): HTMLTableElement {
  return element(
    "table",
    { class: hidden ? "screen-reader" : undefined },
    element("caption", { class: "screen-reader" }, caption),
    element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))))),
  );
}
