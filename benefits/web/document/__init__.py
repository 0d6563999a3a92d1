"""The API's own document: made, shown as a page, compared with an older one."""
