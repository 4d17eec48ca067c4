"""What ChestX-ray14/prepare.py does: archives or folders -> one packed store and three image lists."""
