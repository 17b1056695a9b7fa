import metadata_only as __legacy__  # noqa: F401 - pip's name for the backend of a distribution that names none
