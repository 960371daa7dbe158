"""Projections with code that is generated once, where Spark generates it again in every task.

Spark does that with a projection whose code is too large for whole-stage code generation. Its code becomes here a stage
of whole-stage code generation, which is sent to the tasks as text, and which each executor compiles once.
"""

from typing import Any

from pyspark.sql import SparkSession

from insights.stream.reflection import get_module, read_field

_PROJECTION = "org.apache.spark.sql.execution.ProjectEvaluatorFactory"
_GENERATOR = "org.apache.spark.sql.catalyst.expressions.codegen.GenerateUnsafeProjection"
_METRICS = "org.apache.spark.sql.execution.metric.SQLMetrics"
_NO_TIME = -1
# As GenerateUnsafeProjection and WholeStageCodegenExec write it.
_SOURCE = """\
public Object generate(Object[] references) {{
  return new ProjectionIterator(references);
}}

final class ProjectionIterator extends org.apache.spark.sql.execution.BufferedRowIterator {{
  private Object[] references;
  private scala.collection.Iterator input;
  {states}

  public ProjectionIterator(Object[] references) {{
    this.references = references;
  }}

  public void init(int index, scala.collection.Iterator[] inputs) {{
    partitionIndex = index;
    input = inputs[0];
    {initialise_states}
    {initialise_partition}
  }}

  private UnsafeRow project(InternalRow {row}) {{
    {code}
    return {value};
  }}

  protected void processNext() throws java.io.IOException {{
    while (input.hasNext()) {{
      append(project((InternalRow) input.next()));
      if (shouldStop()) return;
    }}
  }}

  {functions}
}}
"""


def is_projection(factory: Any) -> bool:
    """Whether it is the factory of a projection outside of whole-stage code generation."""
    return bool(factory.getClass().getName() == _PROJECTION)


def generate_projection(spark: SparkSession, factory: Any) -> Any:
    """The factory of a stage of whole-stage code generation that does the same as this factory of a projection.

    Raises:
        Py4JJavaError: the code does not compile.
    """
    jvm = spark._jvm
    prefix = _PROJECTION.replace(".", "$") + "$$"
    expressions, columns = (read_field(factory, prefix + name) for name in ("projectList", "childOutput"))
    generator = get_module(spark, _GENERATOR)
    context = generator.newCodeGenContext()
    result = generator.createCode(context, generator.canonicalize(generator.bind(expressions, columns)), True)
    source = _SOURCE.format(
        states=context.declareMutableStates(),
        initialise_states=context.initMutableStates(),
        initialise_partition=context.initPartition(),
        row=context.INPUT_ROW(),
        code=result.code().toString(),
        value=result.value().toString(),
        functions=context.declareAddedFunctions(),
    )
    codegen = jvm.org.apache.spark.sql.catalyst.expressions.codegen
    code = codegen.CodeAndComment(source, context.getPlaceHolderToComments())
    codegen.CodeGenerator.compile(code)
    return jvm.org.apache.spark.sql.execution.WholeStageCodegenEvaluatorFactory(
        jvm.scala.util.Right(code),
        get_module(spark, _METRICS).createTimingMetric(spark._jsc.sc(), "projection", _NO_TIME),
        context.references().toArray(jvm.scala.reflect.ClassTag.Any()),
    )
