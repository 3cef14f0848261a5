"""Reading and writing at places that an index gives, and finding places by order.

index.py   whole rows: gathering them, adding them up, bags of them
lines.py   elements along lines
order.py   the order of rows, their largest and their distinct elements
"""
