"""The benefits page (财富权益): its views, what they show, and in which words."""
