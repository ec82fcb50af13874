# Functions that declare Weft's own targets: a library per folder; MLIR as the dylib or, with WEFT_STATIC, as archives.

separate_arguments(weft_llvm_definitions NATIVE_COMMAND "${LLVM_DEFINITIONS}")

# Own code is compiled with warnings as errors, without exceptions where MLIR is involved.
function(weft_compile_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Werror -Wno-unused-parameter -Wno-comment
    # GCC 12 reports string concatenation (its bug 105651).
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
  if(WEFT_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${WEFT_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${WEFT_SANITIZE})
  endif()
endfunction()

function(weft_mlir_options target)
  target_include_directories(${target} SYSTEM PUBLIC ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
  target_compile_definitions(${target} PRIVATE ${weft_llvm_definitions})
  target_compile_options(${target} PRIVATE -fno-exceptions)
endfunction()

if(WEFT_STATIC)
  set(LLVM_LINK_LLVM_DYLIB OFF)
  get_property(mlir_libraries GLOBAL PROPERTY MLIR_ALL_LIBS)
  foreach(library IN LISTS mlir_libraries)
    if(TARGET ${library})
      get_target_property(interface ${library} INTERFACE_LINK_LIBRARIES)
      if(interface)
        # Debian's exported targets name the dylib; the archives below take its place.
        list(REMOVE_ITEM interface LLVM "$<LINK_ONLY:LLVM>")
        set_target_properties(${library} PROPERTIES INTERFACE_LINK_LIBRARIES "${interface}")
      endif()
    endif()
  endforeach()
endif()

# weft_library(Name SOURCES ... LINKS ... [MLIR lib ...] [LLVM component ...]): a static library of this folder.
# MLIR and LLVM name the archives of a static build; a dynamic build links libMLIR and libLLVM whole.
function(weft_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;MLIR;LLVM;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  weft_compile_options(${name})
  target_link_libraries(${name} PUBLIC ${ARG_LINKS})
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
  if(ARG_MLIR OR ARG_LLVM)
    weft_mlir_options(${name})
    if(WEFT_STATIC)
      list(TRANSFORM ARG_LLVM PREPEND LLVM)
      target_link_libraries(${name} PUBLIC ${ARG_MLIR} ${ARG_LLVM})
    else()
      target_link_libraries(${name} PUBLIC MLIR LLVM)
    endif()
  endif()
endfunction()

# weft_tool(name SOURCES ... LINKS ... [MLIR lib ...]): an executable in bin/. MLIR as in weft_library.
function(weft_tool name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;MLIR" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  weft_compile_options(${name})
  weft_mlir_options(${name})
  target_link_libraries(${name} PRIVATE ${ARG_LINKS})
  if(WEFT_STATIC)
    target_link_libraries(${name} PRIVATE ${ARG_MLIR})
    target_link_options(${name} PRIVATE -Wl,--as-needed -Wl,--gc-sections -static-libstdc++ -static-libgcc)
    # Debian has no archive of oneTBB either: the tools find its library beside themselves.
    set_target_properties(${name} PROPERTIES BUILD_RPATH "$ORIGIN")
    add_custom_command(TARGET ${name} POST_BUILD
      COMMAND ${CMAKE_STRIP} $<TARGET_FILE:${name}>
      COMMAND ${CMAKE_COMMAND} -E copy_if_different $<TARGET_FILE:TBB::tbb>
        $<TARGET_FILE_DIR:${name}>/$<TARGET_SONAME_FILE_NAME:TBB::tbb>)
  endif()
endfunction()
