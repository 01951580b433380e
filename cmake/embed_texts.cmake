# Writes the files INPUTS (separated by |) into the C file OUTPUT: an array NAME of struct
# embedded_text, in this order, and NAME_count. HEADER declares them. A text is named by its file,
# without the extension.
string(REPLACE "|" ";" inputs "${INPUTS}")
set(arrays "")
set(rows "")
set(count 0)
foreach(input ${inputs})
  get_filename_component(name ${input} NAME_WE)
  file(READ ${input} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
  string(APPEND arrays "static const uint8_t text_${count}[] = {\n${bytes}0\n};\n")
  string(APPEND rows "    {\"${name}\", text_${count}, sizeof(text_${count}) - 1},\n")
  math(EXPR count "${count} + 1")
endforeach()
file(WRITE ${OUTPUT} "#include \"${HEADER}\"\n\n${arrays}\nconst struct embedded_text ${NAME}[] = {\n${rows}};\nconst size_t ${NAME}_count = ${count};\n")
