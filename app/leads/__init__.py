"""Leads: conversations with contact data, as sales works with them."""
