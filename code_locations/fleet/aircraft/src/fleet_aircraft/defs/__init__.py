"""Every module in this folder is loaded; what it defines becomes part of the location."""
