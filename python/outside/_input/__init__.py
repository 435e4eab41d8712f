"""Validated input: annotations of a handler become a plan when it is registered, and the plan one compiled call. Imported when the
first handler asks for it; `markers` and `errors` alone come with the package, since their names are public."""
