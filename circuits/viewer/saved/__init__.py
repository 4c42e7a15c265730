"""The viewer as one HTML file: which answers it holds, how they are written, and the page around them."""
