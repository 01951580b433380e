# Compiler flags for our own code; generated code gets none of the warnings.
add_library(fm_flags INTERFACE)
target_compile_definitions(fm_flags INTERFACE _POSIX_C_SOURCE=200809L FERMATA_VERSION="${PROJECT_VERSION}")
target_compile_options(fm_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla -Wformat=2
  -Wwrite-strings -Wpointer-arith -Wimplicit-fallthrough)
if(FERMATA_WERROR)
  target_compile_options(fm_flags INTERFACE -Werror)
endif()

# Hardening of release builds.
if(CMAKE_BUILD_TYPE MATCHES "Rel" AND NOT SANITIZE)
  add_compile_options(-fstack-protector-strong -fPIE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  add_link_options(-pie -Wl,-z,relro,-z,now)
else()
  add_compile_options(-fPIE)
endif()
add_compile_options(-fno-omit-frame-pointer)

if(SANITIZE)
  add_compile_options(-fsanitize=${SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SANITIZE})
endif()
