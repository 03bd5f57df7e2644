"""Changes to weight matrices: reading adapters, sculpting one against another, applying the result.

Import from the files themselves; this package pulls in torch only when one of them is imported.
"""
