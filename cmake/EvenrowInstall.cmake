# Installing: the shared library with its headers, CMake package and pkg-config file; the program with
# its man pages and shell completion, both made from the program's own --help.
include(CMakePackageConfigHelpers)

install(TARGETS evenrow EXPORT evenrowTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/evenrow DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/evenrow)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/evenrowConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/package/evenrowConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/evenrowConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(EXPORT evenrowTargets NAMESPACE evenrow:: DESTINATION ${package_dir})
install(FILES ${PROJECT_BINARY_DIR}/package/evenrowConfig.cmake
              ${PROJECT_BINARY_DIR}/package/evenrowConfigVersion.cmake
        DESTINATION ${package_dir})

# Relative to the .pc file itself: an installed tree can be moved.
file(RELATIVE_PATH EVENROW_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(${PROJECT_SOURCE_DIR}/cmake/evenrow.pc.in ${PROJECT_BINARY_DIR}/package/evenrow.pc
               @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/evenrow.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/CHANGELOG.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${PROJECT_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs DESTINATION ${CMAKE_INSTALL_DOCDIR})

if(TARGET evenrow_cli)
  install(TARGETS evenrow_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  # A sanitized program is for tests: it has no manual.
  if(NOT EVENROW_SANITIZE)
    find_program(HELP2MAN help2man)
    set(help_dir ${PROJECT_BINARY_DIR}/help)
    add_custom_command(
      OUTPUT ${help_dir}/done
      COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:evenrow_cli> -DOUTPUT=${help_dir}
              -DHELP2MAN=${HELP2MAN} -DVERSION=${PROJECT_VERSION}
              -DDESCRIPTION=${PROJECT_DESCRIPTION}
              -P ${PROJECT_SOURCE_DIR}/cmake/EvenrowHelp.cmake
      DEPENDS evenrow_cli ${PROJECT_SOURCE_DIR}/cmake/EvenrowHelp.cmake
      COMMENT "Man pages and shell completion from evenrow --help"
      VERBATIM)
    add_custom_target(evenrow_help ALL DEPENDS ${help_dir}/done)
    install(FILES ${help_dir}/completion/evenrow
            DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
    install(FILES ${help_dir}/completion/_evenrow
            DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
    install(DIRECTORY ${help_dir}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  endif()
endif()
