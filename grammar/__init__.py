"""The texts that define the language: grammar, prelude and the sentences for common mistakes."""
