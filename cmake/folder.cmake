# fermata_folder(NAME libraries…): the C files of this folder, but for main.c, are the static
# library NAME. Whoever links it sees the folder's headers and those of the libraries it links: of
# the folders below. So an include of a folder above does not compile. Arguments are those of
# target_link_libraries.
function(fermata_folder name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  list(FILTER sources EXCLUDE REGEX "/main\\.c$")
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE fm_flags PUBLIC ${ARGN})
endfunction()

# fermata_embed(TARGET FILE NAME HEADER): the library TARGET gets the file, of this folder, as the C array NAME,
# which HEADER declares. See embed.cmake.
function(fermata_embed target file name header)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${name}.c)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${CMAKE_CURRENT_SOURCE_DIR}/${file} -DOUTPUT=${output} -DNAME=${name}
            -DHEADER=${header} -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${file} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake COMMENT "embed ${file}" VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()
