"""Preparation: folders or archives become a packed store and three lists."""
