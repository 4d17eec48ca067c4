"""Preparation: folders or archives of radiographs become one packed store and three image lists."""
