"""The policy: files into one checked draft, its rules, and the decision itself.

`source.read` reads a folder into a `draft.Draft`; guards take their sections from it; `decide.Decider`
puts every guard's rulings together. See docs/policy.md.
"""
