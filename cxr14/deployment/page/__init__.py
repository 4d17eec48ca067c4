"""A page that reads radiographs in a browser, without a server: one HTML file."""
