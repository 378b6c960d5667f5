import humanize

print(f"up for {humanize.precisedelta(90)}")
