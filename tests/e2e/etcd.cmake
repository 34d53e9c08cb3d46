# With the real etcd, where scripts/etcd-cluster can start one.
add_library(ferrun_etcd_run STATIC etcd_run.cc)
target_compile_definitions(ferrun_etcd_run PRIVATE FERRUN_ETCD_CLUSTER="${PROJECT_SOURCE_DIR}/scripts/etcd-cluster")
target_link_libraries(ferrun_etcd_run PUBLIC ferrun_nodes_run PRIVATE ferrun_warnings)
foreach(part etcd etcd_server etcd_tls)
  ferrun_test(${part}_test SOURCES ${part}_test.cc LIBS ferrun_etcd_run LABELS e2e TIMEOUT 600 DEPENDS ferrun)
endforeach()
