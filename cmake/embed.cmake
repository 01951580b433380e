# Writes the file INPUT as the C array NAME into OUTPUT, which includes HEADER. A zero follows the bytes, which
# NAME_size does not count.
file(READ ${INPUT} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "#include \"${HEADER}\"\nconst uint8_t ${NAME}[] = {\n${bytes}\n0};\nconst size_t ${NAME}_size = ${size};\n")
