"""`mien evaluate`: measures an engine's error rates on a folder of images. It must know no subject, grant or store.

The method is that of the engine cards (ISO/IEC 19795-1); `docs/how-to/evaluate-an-engine.md` explains each number.
"""
