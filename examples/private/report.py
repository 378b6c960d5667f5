import acme_private

print(f"private: {acme_private.ANSWER}")
