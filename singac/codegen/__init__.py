"""Operations of a plan -> LLVM IR -> native code."""
