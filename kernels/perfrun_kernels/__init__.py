"""What runs inside benchmark pods; it never imports the operator."""
