"""Images from one place to another: registries, layouts, archives, directories, the store.

text ──Place──▶ reader ──plan──▶ documents, blobs ──▶ destination: blobs, then manifests, then the name
"""
