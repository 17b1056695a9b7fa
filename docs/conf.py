"""Sphinx's settings; the Debian package builds its man pages with them."""

import re
from pathlib import Path

project = "ordersigner"
author = "The ordersigner authors"
copyright = f"2026 {author}"
package = (Path(__file__).parent.parent / "ordersigner/__init__.py").read_text()
(version,) = re.findall('__version__ = "(.+)"', package)
release = version
exclude_patterns = ["_build"]

man_pages = [  # source, name, description, authors, section
    ("man/ordersigner", "ordersigner", "sign orders, and ping the daemon, from the command line", "", 1),
    ("man/ordersignerd", "ordersignerd", "sign Leverj exchange orders for clients on a Unix socket", "", 8),
    ("man/ordersigner-protocol", "ordersigner-protocol", "how to ask ordersignerd(8) for a signature", "", 7),
]
