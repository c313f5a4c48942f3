"""Small changes of a text that a reader shrugs off: typing slips, look-alike letters, synonyms."""
