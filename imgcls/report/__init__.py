"""Results for people: plain text, tables, the page. Light zone."""
