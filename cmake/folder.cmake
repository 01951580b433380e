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
