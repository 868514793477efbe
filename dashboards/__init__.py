"""Showing: one live Streamlit page over the board, the trips and their evidence."""
